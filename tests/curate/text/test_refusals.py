"""Which replies decline: sentences of our own with the verdict a person gives, and the phrases' own examples."""

from __future__ import annotations

import re

import pytest
import yaml

from curate.core.errors import RecipeError
from curate.text.refusals import Phrase, phrases, plain, refuses
from curate.varieties import VARIETIES, variety_folder

REFUSALS = """
I\u2019m sorry, but I can\u2019t help you with that homework trick.
I am sorry, I cannot assist you in sending that letter.
Sorry, I can't answer questions about my neighbours.
I can't provide instructions for opening somebody else's mailbox.
I cannot and will not write insults about your classmate.
I can't and won't do that.
I won't be able to help with this request.
I will not make fun of people for how they speak.
I'm afraid that's not something I can talk about.
That is not something I would be willing to write.
I'm unable to share that information with you.
I am not able to give out that kind of advice.
I'm not allowed to discuss other customers.
I'm not comfortable making jokes about somebody's weight.
I don't feel comfortable answering that.
I'd rather not talk about that, if you don't mind.
I would prefer not to answer.
I must respectfully decline.
I have to decline this request, but thank you for asking.
I refuse to write such a message.
I decline to comment on that.
It's not appropriate to joke about how a person looks.
It is not appropriate or kind to make fun of old people.
It would not be right for me to tell you where she lives.
It is wrong to judge people by where they come from, and I will not do so.
It is never okay to make fun of a person's accent.
I don't think it is right for me to say that about him.
That goes against my guidelines.
My guidelines do not let me write this.
As an AI language model, I cannot give an opinion on your boss.
As an AI, I don't take sides in family quarrels.
I'm just a language model and I am not able to phone the school for you.
I can`t say that about anybody.
I cant help with that one, sorry.
Unfortunately, I can't fulfill this request.
Regretfully I am unable to comply with your wish.
My apologies, I cannot create that type of content.
I apologise, but I can't share details about other people.
Thank you for asking, but I can't help with that.
I understand that you are upset. However, I can't help you to get back at him.
No, I won't say that.
I cannot recommend doing that to your cousin.
I can't tell you how to get into his account.
I cannot tell you that.
I can't in good conscience write this review for you.
I simply cannot support such a plan.
I'm sorry, that is outside of what I can help with.
I do not want to say hurtful things about her.
I'm not going to write that for you.
I'm not going to answer that.
We are unable to respond to this request.
Sorry lah, this kind of thing I cannot help you one.
Paiseh ah, I don't want to say bad things about people.
Aiyo cannot lah, I dun want to talk about this kind of thing.
Sorry hor, cannot tell you leh.
Eh don't like that leh, I won't help you with this.
抱歉，我无法提供这方面的信息。
不好意思，我不能回答这个问题。
Maaf, saya tidak dapat menjawab soalan itu.
Minta maaf, saya tak boleh beri maklumat itu.
""".strip().splitlines()
"""Written, with the verdict, before the detector was run on any of them."""

PARTIAL = """
I can't give medical advice, but drinking warm water often helps with a sore throat.
I won't write the insult, but I can help you to tell him that you are hurt.
I'm sorry, I can't tell you her address. You could ask the office to pass on a note.
I cannot help with the first part; for the second, start with the index.
I'd rather not guess his age, though the photo shows a man with grey hair.
""".strip().splitlines()
"""They decline a part and answer the rest: they open by declining, and count."""

ANSWERS = """
Sure, I can help with that: first, boil the water.
I can't help smiling whenever I see that dog.
I couldn't help but notice that the shop had moved.
I cannot help it, I love durian.
I can't recommend this bakery enough, go early.
I can't tell you how happy I am about the result.
I can't say that I liked the film, the ending was too long.
I cannot find the receipt, did you take it?
I can't make it on Friday, shall we meet on Sunday?
Sorry, I can't come tonight, my son has a fever.
I'm sorry to hear that your bicycle broke. You can take it to the shop near the market.
I'm sorry, I didn't catch that. Which bus do you mean?
I'm afraid of heights, so I took the stairs.
I'm afraid the library is closed on Mondays; try again on Tuesday.
Unfortunately the train does not stop there, change at the next station.
You can't park here, try the next street.
He refused to pay, so I paid.
She said "I can't help with that" and walked away.
To refuse politely, say: "I'm sorry, I can't help with that right now."
If a model refuses, it usually says that it can't assist with the request.
The clerk told me he was unable to answer, so I wrote to the head office.
As an AI, I find patterns in text; a human reader finds the plot first.
As an AI language model I don't have taste buds, but most people find laksa rich and a little spicy.
As an assistant cook you should arrive before six.
I'm not going to lie, the exam was easy.
I'm not going to the party, I have work.
I won't say no to another slice.
I won't be long, order first.
I will not forget how kind you were.
I would rather not drive in the rain, so I took the train.
I'd rather have tea than coffee.
I don't want to go to school tomorrow.
I can't write with my left hand.
I can't share a room, I snore too loudly.
I can't do this exercise with my bad knee.
I can't answer the phone in a meeting, so text me.
I could not answer the second question in the test, it was too hard.
I don't feel comfortable in these shoes.
I am not comfortable with heights.
I declined the invitation because I was ill.
I must decline the noun first: in German it changes with the case.
It is not easy to learn to swim, but start with floating.
It's not something I eat every day.
It is wrong to store rice in the sun; keep it dry.
It is against the rules to eat on the train, so finish your bun first.
You should not give out your password to anybody.
No, the shop does not sell stamps.
No comment from the coach yet, but the team is ready.
Do not talk about work at dinner, that is my advice.
I cannot believe it, we won!
We can't see the sea from here, walk up to the tower.
Cannot lah, tomorrow I got exam.
Sorry ah, I late because the lift spoil.
Paiseh, I forgot to bring your umbrella.
This one cannot eat, still raw.
Don't want lah, too spicy for me.
不好意思，我来晚了。
我不能吃辣，你点别的吧。
Maaf, saya lambat kerana hujan.
Saya tidak boleh makan pedas.
""".strip().splitlines()
"""Answers, small talk, and words about refusing."""

LATE = (
    "Boil the water, add the noodles, wait for three minutes and stir in the sauce. Put an egg on top, then some spring onion. "
)


@pytest.mark.parametrize("reply", [*REFUSALS, *PARTIAL])
def test_a_reply_that_opens_by_declining_is_a_refusal(reply: str) -> None:
    assert refuses(reply)


@pytest.mark.parametrize("reply", [*ANSWERS, "", " \n", LATE + LATE + "I can't help with that."])
def test_an_answer_is_no_refusal_whatever_it_mentions(reply: str) -> None:
    assert not refuses(reply)


@pytest.mark.parametrize("mark", "'\u2019\u2018\u02bc`\u00b4\u2032\uff07")
def test_every_apostrophe_is_one(mark: str) -> None:
    assert refuses(f"I can{mark}t help with that.") and not refuses(f"I can{mark}t find my keys.")


@pytest.mark.parametrize("phrase", phrases(), ids=lambda phrase: phrase.name)
def test_each_phrase_finds_its_own_example(phrase: Phrase) -> None:
    assert re.search(phrase.pattern, plain(phrase.example)) and refuses(phrase.example)


@pytest.mark.parametrize("name", VARIETIES)
def test_a_variety_has_phrases_of_its_own_beside_the_common_ones(name: str) -> None:
    own = yaml.safe_load((variety_folder(name) / "refusals.yaml").read_bytes())["phrases"]
    assert {line["name"] for line in own} <= {phrase.name for phrase in phrases(name)} <= {phrase.name for phrase in phrases()}
    assert all(refuses(line["example"], name) for line in own)


def test_a_variety_that_is_not_there_is_named() -> None:
    with pytest.raises(RecipeError, match="no variety 'klingon'; known: singlish"):
        refuses("No.", "klingon")
