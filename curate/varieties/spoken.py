"""Which variety a build looked for, as its card and its metadata have it."""

from __future__ import annotations

from dataclasses import dataclass

from curate.core.errors import RecipeError
from curate.core.manifest import Manifest
from curate.varieties import variety

SENTENCES = {
    "singlish": "English as written in Singapore, Singlish (`en-SG-x-singlish`) where its words and particles mark it; sentences "
    "may mix in Malay, Hokkien, Mandarin and Tamil words."
}
"""What is to be said of a variety that ships."""


@dataclass(frozen=True)
class Spoken:
    """A variety by name and BCP 47 tag.

    Example:
        >>> spoken = Spoken("manglish", "en-MY-x-manglish")
        >>> spoken.language, spoken.region
        ('en', 'en-MY')
        >>> spoken.sentence
        'English, and manglish (`en-MY-x-manglish`) where its words mark it.'
    """

    name: str
    code: str

    @property
    def language(self) -> str:
        """The language that it is a variety of."""
        return self.code.partition("-")[0]

    @property
    def region(self) -> str:
        """The tag without what only its users agree on."""
        return self.code.partition("-x-")[0]

    @property
    def sentence(self) -> str:
        """What the card says of it."""
        language = "English" if self.language == "en" else f"`{self.language}`"
        return SENTENCES.get(self.name, f"{language}, and {self.name} (`{self.code}`) where its words mark it.")


def spoken_in(manifest: Manifest) -> Spoken | None:
    """The variety of the build's stage `language`; None where it had none, or where its folder is gone."""
    options = manifest.stage_options.get("language")
    if options is None:
        return None
    try:
        looked_for = variety(str(options.get("variety", "singlish")))
    except RecipeError:
        return None
    return Spoken(looked_for.name, looked_for.code)
