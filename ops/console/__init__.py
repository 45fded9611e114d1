"""The console: a web page that shows the road of orders live, and lets one steer it."""
