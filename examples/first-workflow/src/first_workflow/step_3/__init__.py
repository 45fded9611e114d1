"""Steps 3 and 4: the switch decides who sends the mail, and the order records it."""
