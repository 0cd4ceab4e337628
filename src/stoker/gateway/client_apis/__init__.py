"""APIs other than OpenAI's chats, each translated into a chat request and back."""
