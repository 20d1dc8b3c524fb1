"""Where records lie: objects by URI, segments of JSON Lines in them, and the formats rendered from segments."""
