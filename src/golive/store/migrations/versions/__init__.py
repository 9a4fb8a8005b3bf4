"""The steps from each schema to the next, one a file. Owns what a step does; their order stands in them."""
