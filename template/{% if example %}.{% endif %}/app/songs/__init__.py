"""The example feature: a catalogue of songs."""
