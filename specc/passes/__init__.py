"""From a spec to a typed graph, and from one graph to another."""
