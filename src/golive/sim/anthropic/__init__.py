"""The simulator as Anthropic. Owns its wire formats: what it accepts, how it answers, how it refuses."""
