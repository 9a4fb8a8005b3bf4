"""The simulator as Google's Gemini API. Owns its wire formats: what it accepts, how it answers, how it refuses."""
