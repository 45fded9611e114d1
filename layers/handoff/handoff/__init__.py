"""The shared package of Handoff: its domain, its store, its bus, its payments and its queue consumers."""
