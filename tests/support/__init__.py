"""What the tests share: combinations, renders, and programs run in rendered projects."""
