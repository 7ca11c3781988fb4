"""The names of columns that people give to each role."""

from __future__ import annotations

import re

_NAMES = {
    "chosen": "chosen chosen_response chosen_completion preferred_response accepted",
    "rejected": "rejected rejected_response rejected_completion dispreferred_response dispreferred",
    "response_a": "response_a response_0 response_1 answer_a completion_a reply_a output_1",
    "response_b": "response_b response_1 response_2 answer_b completion_b reply_b output_2",
    "preferred": "preferred preference safer_response_id better_response_id winner choice better",
    "toxic_text": "toxic toxic_text toxic_comment toxic_sentence en_toxic_comment",
    "messages": "messages conversation conversations dialogue dialog",
    "completion": "completion response reply answer output generation generated_text model_output bot_response "
    "assistant reply_text response_text completion_text answer_text model_response assistant_response ai_response "
    "continuation",
    "prompt": "prompt instruction question query user_message parent_text parent_body parent_comment context input "
    "source_text user user_input user_prompt prompt_text",
    "input": "input",
    "history": "history context previous previous_turns conversation_history",
    "instances": "instances",
    "text": "text body comment comment_text comment_body tweet tweet_text full_text message message_text msg "
    "content post post_text post_content comment_content message_content text_display "
    "sentence utterance selftext sms review test_case testcase c_testcase "
    "input_toxic_comment toxic_comment raw_text caption",
    "title": "title subject headline thread_title topic_title",
    "label": "label is_toxic toxic gold_label label_gold gold t_gold class toxicity hate is_hate hateful "
    "hate_speech offensive abusive flag safe is_safe unsafe annotation labels y target output_reasons",
    "votes": "votes annotations annotator_labels ratings all_labels labels",
    "votes_toxic": "votes_toxic toxic_votes n_toxic num_toxic toxic_count count_toxic",
    "votes_non_toxic": "votes_non_toxic non_toxic_votes votes_clean n_non_toxic votes_safe clean_votes",
    "votes_total": "votes_total total_votes n_votes num_votes votes n_annotators annotators count",
    "category": "category toxicity_type hate_type toxic_type toxicity_category",
    "author": "author author_name author_display_name author_id user_id userid user username user_name sender sender_name "
    "screen_name speaker nick account from",
    "thread": "thread thread_id threadid topic_id conversation_id conv_id dialogue_id dialog_id submission_id "
    "link_id discussion_id story_id message_tree_id video_id thread_ts",
    "parent": "parent parent_id parentid reply_to reply_to_id in_reply_to in_reply_to_id in_reply_to_status_id replyto "
    "reply_to_message_id reference_message_id",
    "quote": "quote quoted quoted_text quoted_post quoted_content",
    "id": "id post_id comment_id message_id msg_id tweet_id id_str object_id uid idx nr post_number post_no",
    "time": "time timestamp timestamp_ms date datetime created_at created_utc posted_at sent_at published_at ts",
    "turn": "turn turn_id turn_index",
    "licence": "licence license",
}
NAMES: dict[str, tuple[str, ...]] = {role: tuple(names.split()) for role, names in _NAMES.items()}
"""Role -> names of columns that play it, best first; compared in lower case, words joined by '_'."""

NEUTRAL = re.compile(r"(?:en_)?(?:neutral|non_?toxic|detox(?:ified)?|polite|rewrite|clean)(?:_(?:comment|text|sentence))?_?\d*")
ANNOTATOR = re.compile(r"(?:annotator|annotator_label|annotation|rater|label|vote|worker|coder|judge)_?\d+")
TALLIES = frozenset("n num count total response answer completion reply output".split())
"""Words of a name with a number that is no annotator's: how many, or which of two texts."""

NESTED = ("text", "content", "value", "body")
NESTED_ROLES = ("prompt", "completion", "chosen", "rejected", "response_a", "response_b")
"""Names of a text within an object whose own name says which text it is, "prompt.text", and the roles that it may play."""

CHATS = tuple(
    frozenset(header.split())
    for header in (
        "from from_id date text",  # Telegram
        "author.name author.isBot timestamp content",  # Discord, as DiscordChatExporter writes it
        "sender_name timestamp_ms content",  # Messenger and Instagram
        "type user ts text",  # Slack
    )
)
"""Columns by which a messenger's export in JSON is told."""

PINNABLE = tuple(sorted({*NAMES, "neutral"}))
SEVERAL = ("votes", "neutral")  # roles that several columns may play

ALWAYS = (
    *("author", "category", "evidence", "id", "label", "licence", "thread", "time"),
    *("votes", "votes_non_toxic", "votes_total", "votes_toxic"),
)
"""Roles that every kind of record may use."""

USES: dict[str, tuple[str, ...]] = {
    "preference": ("chosen", "rejected", "prompt", "history", "input"),
    "ballot": ("response_a", "response_b", "preferred", "prompt", "history", "input"),
    "parallel": ("toxic_text", "neutral"),
    "messages": ("messages",),
    "completion": ("prompt", "completion", "history", "input", "instances"),
    "chat": ("text", "turn", "parent"),
    "thread": ("text", "parent", "quote", "title"),
    "text": ("text",),
}
"""Kind -> the roles it makes rows of, beside those that every kind uses."""

NEEDED: dict[str, tuple[str, ...]] = {
    "preference": ("chosen", "rejected"),
    "ballot": ("response_a", "response_b", "preferred"),
    "parallel": ("toxic_text", "neutral"),
    "messages": ("messages",),
    "completion": ("prompt", "completion"),
    "chat": ("text",),
    "thread": ("text",),
    "text": ("text",),
}
"""Kind -> the roles without which a recipe cannot ask for it."""
