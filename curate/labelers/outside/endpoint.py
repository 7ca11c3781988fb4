"""Ask an OpenAI-compatible endpoint many questions: a bounded number at once, patiently; answers in order."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from curate.core.errors import DataError, RecipeError

if TYPE_CHECKING:
    from requests import PreparedRequest, Response, Session

Json = dict[str, Any]
"""A question as the endpoint takes it."""

PATIENT = {408, 409, 425, 429, 500, 502, 503, 504, 529}  # statuses that may pass by themselves
LONGEST_WAIT = 60.0  # seconds between two attempts, whatever the server proposes
REFUSED = "content_filter"  # what some servers call a question that they will not read

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


@dataclass(frozen=True)
class Endpoint:
    """Where to ask, and how patiently.

    Attributes:
        url: up to and without `/chat/completions`.
        key: name of the environment variable with the key, or None. The key itself is in no recipe, manifest, log or error.
        concurrency: most questions at once.
        timeout: seconds to wait for a connection, and between two bytes of an answer.
        attempts: how often a question is asked before its failure ends the work.
        first_wait: seconds before the second attempt; doubled for each later one, unless the server names a time.
    """

    url: str
    key: str | None
    concurrency: int
    timeout: float
    attempts: int
    first_wait: float
    _local: threading.local = field(default_factory=threading.local, compare=False, repr=False)

    def ask(self, questions: Sequence[Json], done: Callable[[int], None]) -> list[object]:
        """The answers' JSON, in the order of the questions; None where the server will not read one, or says something else.

        Args:
            questions: bodies of requests.
            done: told of each answer.

        Raises:
            RecipeError: the key is missing, or the server does not take such questions from us.
            DataError: the server failed or was silent too often.
        """
        secret = self._secret()
        stop = threading.Event()
        answers = []
        with ThreadPoolExecutor(self.concurrency) as pool:
            waiting = [pool.submit(self._one, question, secret, stop) for question in questions]
            try:
                for answer in waiting:
                    answers.append(answer.result())
                    done(1)
            except BaseException:
                stop.set()  # nobody asks on once the work has failed
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return answers

    def _one(self, question: Json, secret: str | None, stop: threading.Event) -> object:
        import requests

        problem, wait = "", self.first_wait
        for attempt in range(self.attempts):
            if attempt and stop.wait(wait):
                break
            wait = min(LONGEST_WAIT, self.first_wait * 2**attempt)
            try:
                answer = self._session(secret).post(
                    f"{self.url.rstrip('/')}/chat/completions", json=question, timeout=self.timeout, allow_redirects=False
                )
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
                problem = type(error).__name__
                continue
            if answer.status_code in PATIENT:
                problem, wait = f"status {answer.status_code}", _proposed(answer.headers.get("Retry-After"), wait)
                continue
            return self._read(answer)
        raise DataError(
            f"llm: {self._host}: {problem} {self.attempts} times in a row", hint="earlier answers are kept, run it again to go on"
        )

    def _read(self, response: Response) -> object:
        try:
            body = response.json()
        except ValueError:
            body = None
        if response.status_code == 200:
            return body
        error = body.get("error") if isinstance(body, dict) else None
        if response.status_code == 400 and isinstance(error, dict) and error.get("code") == REFUSED:
            return None
        cures = {401: f"check the key in ${self.key}", 403: f"check the key in ${self.key}", 404: "check url and model"}
        cure = cures.get(response.status_code, "does the server take response_format json_schema, and these parameters?")
        raise RecipeError(
            f"llm: {self._host}: status {response.status_code}", hint=cure
        )  # the body may repeat the text: not shown

    def _session(self, secret: str | None) -> Session:  # one per thread: they are not thread-safe
        import requests

        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.auth = _Bearer(secret)  # set even without a key, so that nothing is taken from ~/.netrc
        return self._local.session

    def _secret(self) -> str | None:
        check_variable(self.key)
        if self.key is None:
            return None
        secret = os.environ.get(self.key, "").strip()
        if not secret:
            raise RecipeError(f"llm: key: the environment variable {self.key} is not set", hint="export it, or remove key")
        return secret

    @property
    def _host(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")


def check_variable(key: str | None) -> None:
    """Refuse a recipe that holds what looks like a key instead of a variable's name, without repeating it.

    Raises:
        RecipeError: not the name of an environment variable.
    """
    if key is not None and not _VARIABLE.fullmatch(key):
        raise RecipeError(
            "llm: key: expected the name of an environment variable, such as LLM_API_KEY",
            hint="write the variable's name, never the key itself",
        )


class _Bearer:
    def __init__(self, secret: str | None) -> None:
        self._secret = secret

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        if self._secret is not None:
            request.headers["Authorization"] = f"Bearer {self._secret}"
        return request


def _proposed(header: str | None, otherwise: float) -> float:
    """Seconds that a server asks us to wait, at most LONGEST_WAIT; dates are not understood."""
    try:
        return min(LONGEST_WAIT, max(0.0, float(header or "")))
    except ValueError:
        return otherwise
