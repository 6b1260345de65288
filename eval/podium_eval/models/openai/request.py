"""A ChatRequest as the JSON body that one model wants, by its row's quirks."""

from typing import Any

import orjson
from podium_contracts.text.surrogates import encodable

from podium_eval.errors import Failure
from podium_eval.models.chat import ChatRequest
from podium_eval.models.providers import Quirks


def render_body(
    request: ChatRequest, quirks: Quirks, *, model: str, user: str, max_tokens: int | None, stream: bool
) -> bytes:
    """The body's bytes. `user` is the request's text, cut to fit; max_tokens None leaves the field out.

    Raises:
        Failure: `bad_request`, when the model cannot do what is asked (tools, images) by its row.
    """
    body: dict[str, Any] = {"model": model, "messages": _messages(request, quirks, user, model)}
    if request.tools:
        if not quirks.tools:
            raise Failure("bad_request", f"{model} takes no tools by its row in the provider table")
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": dict(tool.parameters),
                    **({"strict": True} if quirks.strict_tools else {}),
                },
            }
            for tool in request.tools
        ]
        body["tool_choice"] = request.tool_choice if quirks.tool_choice else "auto"
    if request.temperature is not None and quirks.temperature:
        body["temperature"] = request.temperature
    if max_tokens is not None:
        body[quirks.max_tokens] = max_tokens
    if request.form is not None:
        body.update(_form(request, quirks))
    if quirks.reasoning_effort is not None:
        body["reasoning_effort"] = quirks.reasoning_effort
    if quirks.chat_template_kwargs:
        body["chat_template_kwargs"] = dict(quirks.chat_template_kwargs)
    if request.priority is not None and quirks.priority:
        body["priority"] = request.priority
    if request.program is not None:
        body["program_id"] = request.program
    if stream:
        body["stream"] = True
        if quirks.stream_usage:
            body["stream_options"] = {"include_usage": True}
    return _dumps(body)


def _messages(request: ChatRequest, quirks: Quirks, user: str, model: str) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if request.system is not None:
        if quirks.system == "user":
            user = f"{request.system}\n\n{user}"
        else:
            messages.append({"role": quirks.system, "content": request.system})
    content: str | list[dict[str, Any]] = user
    if request.image is not None:
        if not quirks.vision:
            raise Failure("bad_request", f"{model} cannot see images by its row in the provider table")
        content = [
            {"type": "text", "text": user},
            {"type": "image_url", "image_url": {"url": request.image}},
        ]
    messages.append({"role": "user", "content": content})
    return messages


def _form(request: ChatRequest, quirks: Quirks) -> dict[str, Any]:
    form = request.form
    if form is not None and form.json_schema is not None and quirks.json_schema:
        schema = {"name": form.name, "schema": dict(form.json_schema), "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    if form is not None and form.regex is not None and quirks.regex:
        return {"structured_outputs": {"regex": form.regex}}
    return {}


def _dumps(body: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:
        return orjson.dumps(encodable(body))
