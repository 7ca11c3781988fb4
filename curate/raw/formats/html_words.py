"""The words by which pages say what their elements are: classes that sites use, and tags."""

from __future__ import annotations


def _words(words: str) -> frozenset[str]:
    return frozenset(words.split())


POST = _words("post comment reply message msg tweet forum-post forum-comment postcontainer topic-post status")
"""Classes of an element that is a post."""

_PARTS = {
    "quote": "quote quoted bbcode_quote bbcodeblock quotecontent quote-container gmail_quote",
    "author": "user author username user-name user_name nick nickname poster by byline from_name from sender post-author "
    "post_author comment-author comment_author commentauthor message-name message-author h-card fn",
    "time": "date time datetime timestamp posted post-date post_date comment-date postdate created",
    "body": "body content text message msg md postbody post-body post_body post-content post_content post-text post-message "
    "postcontent comment-body comment-content comment-text comment_text comment__text commentcontent commentContent message-body "
    "message-content message-text messagetext messagecontent bbwrapper usertext-body entry-content reply-content reply-body "
    "tweet-text articleBody commentText",
}

PART_OF: dict[str, str] = {word: part for part, words in _PARTS.items() for word in words.split()}
"""Class, or `itemprop`, of an element within a post -> what it is of the post."""

REPLY_TO = _words("reply_to reply-to in-reply-to replyto in_reply_to parent")
"""Classes of a line that says which post is answered."""

LEFT_OUT = _words(
    "sig signature post-signature nav navigation breadcrumb breadcrumbs footer actions controls buttons toolbar share pagination "
    "menu sidebar advert ad comment-actions reply-link post-actions edit-link"
)
"""Classes of what belongs to the page, not to the post."""

SILENT = _words("script style noscript template svg select textarea iframe object button")

VOID = _words("area base br col embed hr img input link meta param source track wbr")

BLOCK = _words(
    "p div li ul ol blockquote pre table tr section article header footer h1 h2 h3 h4 h5 h6 dd dt dl figure details summary"
)

PARAGRAPH = _words("p li blockquote dd dt td pre h1 h2 h3 h4 h5 h6")

IMPLIED = _words("p li dt dd td th tr option")
"""Elements of which a second one ends the first."""

FENCE = _words("ul ol dl table blockquote div section article tbody")
"""Elements out of which `IMPLIED` does not reach."""
