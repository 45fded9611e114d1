"""Write a new consumer: its code, its resources, its tests, and its entry in every list."""
