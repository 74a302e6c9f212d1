from training.model.text.encoder import spell
from training.model.text.tokenizer import make_tokenizer


def test_each_word_of_the_prompt_is_one_token():
    tokenizer = make_tokenizer()
    for number in range(100):
        words = f"The optical flow is {spell(number)}."
        assert len(tokenizer.tokenize(words)) == len(words.replace("-", " - ").split()) + 1


def test_added_words_are_one_token_and_change_no_others():
    tokenizer = make_tokenizer(["checkered", "stone"])
    assert tokenizer.tokenize("a checkered stone") == ["a</w>", "checkered</w>", "stone</w>"]
    assert len(make_tokenizer().tokenize("checkered")) > 1
    text = "the optical flow is twenty-one"
    assert tokenizer.tokenize(text) == make_tokenizer().tokenize(text)


def test_any_text_decodes_to_itself():
    text = "ein käfer läuft 7 m, 走る"
    tokenizer = make_tokenizer()
    ids = tokenizer(text).input_ids
    # CLIP separates digits and punctuation by spaces.
    assert tokenizer.decode(ids, skip_special_tokens=True).replace(" ", "") == text.replace(" ", "")
    assert tokenizer.unk_token_id not in ids[1:-1]


def test_a_loaded_tokenizer_gives_the_same_tokens(tmp_path):
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    text = "A zebra moves slowly. The optical flow is twelve."
    assert type(tokenizer).from_pretrained(tmp_path)(text).input_ids == tokenizer(text).input_ids
