"""The console: a web page that shows the order pipeline live, dead letters to redrive, and order timelines."""
