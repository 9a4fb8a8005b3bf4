"""The simulator as OpenAI. Owns its wire formats: what it accepts, how it answers, how it refuses."""
