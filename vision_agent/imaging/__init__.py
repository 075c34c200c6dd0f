"""Pure pixels: frames, formats, scaling, JPEG, foreign files, drawing. No asyncio, no livekit, no clock."""
