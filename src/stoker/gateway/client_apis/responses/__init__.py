"""OpenAI's Responses, translated: https://platform.openai.com/docs/api-reference/responses."""
