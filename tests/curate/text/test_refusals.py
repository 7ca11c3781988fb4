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

HARD_REFUSALS = """
I'm not able to do that for you, I'm afraid.
I understand your curiosity, but I must refrain from giving such instructions.
I'm sorry, but writing that would be unkind, so I won't.
It is essential to treat all people with respect, and I cannot produce content that mocks them.
Making jokes about people with disabilities is hurtful. Let's talk about something else.
I have to say no to this one.
I'd prefer not to take part in gossip.
Nope, not going to do that.
That's a request I have to turn down.
I can't be part of this.
I am programmed to be kind, so I can't write an insult.
There is no way I would help with cheating.
I don't have an opinion on that, as I am only an AI.
I can't help you cheat in the exam.
I cannot advise you on how to skip school.
I'm sorry. I can't give you his phone number.
This is not something I'd like to joke about.
I'm going to pass on this question.
I really don't think I should answer that.
I should not answer that question.
Making fun of how others talk is not okay, and I won't do it.
I'm unable to generate a story like that.
Sorry, no can do.
I am an AI and cannot make phone calls.
It's not my place to say.
I do not engage in discussions about people's private lives.
It is not right to call people names.
I'm not the right one to answer this; I'd rather leave it.
As a responsible assistant, I can't write that letter.
I can not participate in pranks that hurt people.
Aiya, this one I don't dare to say lah.
I regret that I cannot assist.
Apologies, but I won't be writing that.
I'm not willing to spread rumours about a colleague.
I don't do insults.
""".strip().splitlines()
HARD_ANSWERS = """
I cannot stress enough how useful a checklist is.
You can't tell him that without hurting him, so write a kind note instead.
I don't think it is right to say that cats are better than dogs; both are nice.
I can't decide between the two, but the blue one is cheaper.
I am not sure, but the museum opens at ten.
The app won't let you log in because the password is wrong.
I refuse to believe that summer is over already.
I'd rather not have onions, please.
I'm unable to attend the meeting on Monday.
It is wrong to say that whales are fish: they are mammals.
I won't tell you which ending is the true one, read it and see!
We can't do this alone, so ask your neighbours to help.
I can't give this cake more than three stars.
I do not comment on posts, I only read them.
I'm sorry, but you will have to wait until the shop opens.
No, that is not correct: seven times eight is fifty-six.
The rules do not allow dogs in the hall.
As an AI can learn from data, it may copy its mistakes.
I could not help him carry the sofa, it was too heavy.
If you can't help with the dishes, sweep the floor.
I can't discuss it now, I'm on the bus.
It's not appropriate to wear shorts there; take long trousers.
""".strip().splitlines()
"""Written after the phrases, which then found 11 of the 35 refusals and took 4 of the 22 answers for one; now all but these."""
MISSED, FALSE_ALARMS = 3, 2

LATE = (
    "Boil the water, add the noodles, wait for three minutes and stir in the sauce. Put an egg on top, then some spring onion. "
)


@pytest.mark.parametrize("reply", [*REFUSALS, *PARTIAL])
def test_a_reply_that_opens_by_declining_is_a_refusal(reply: str) -> None:
    assert refuses(reply)


@pytest.mark.parametrize("reply", [*ANSWERS, "", " \n", LATE + LATE + "I can't help with that."])
def test_an_answer_is_no_refusal_whatever_it_mentions(reply: str) -> None:
    assert not refuses(reply)


def test_sentences_written_against_the_phrases_are_mostly_judged_right() -> None:
    assert sum(not refuses(reply) for reply in HARD_REFUSALS) <= MISSED
    assert sum(refuses(reply) for reply in HARD_ANSWERS) <= FALSE_ALARMS


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
    with pytest.raises(RecipeError, match="no variety 'klingon'; one of singlish"):
        refuses("No.", "klingon")
