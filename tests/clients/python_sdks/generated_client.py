"""Call the gateway with the client that was generated from its OpenAPI document, and print it."""

from __future__ import annotations

import json
import sys
import warnings

warnings.simplefilter("error", SyntaxWarning)
sys.path.insert(0, sys.argv[2])

from gateway_client import Client, models  # noqa: E402
from gateway_client.api.default import (  # noqa: E402
    get_models,
    get_models_model,
    post_chat_completions,
    post_tokenize,
)

client = Client(base_url=sys.argv[1])
model = next(m for m in get_models.sync(client=client).data if m.id == sys.argv[3])
same = get_models_model.sync(model.id, client=client)
chat = {"model": model.id, "messages": [{"role": "user", "content": "Say hello."}]}
body = models.PostChatCompletionsBody.from_dict(chat)
answer = post_chat_completions.sync(client=client, body=body).to_dict()
counted = post_tokenize.sync(
    client=client, body=models.TokenizeRequest(model=model.id, prompt="Say hello.")
)
print(
    json.dumps(
        {
            "id": model.id,
            "max_model_len": same.max_model_len,
            "chat": answer["choices"][0]["message"]["content"],
            "tokenize": counted.to_dict(),
        }
    )
)
