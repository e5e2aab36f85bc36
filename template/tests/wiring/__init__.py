"""Proof that sessions, transactions and fixtures work together as they should.

The tests bring a small feature of their own, so that they need nothing of the
application's. They also show how to test whatever a handler does with its session.
"""
