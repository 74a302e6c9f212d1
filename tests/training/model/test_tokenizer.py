from training.model.text import spell
from training.model.tokenizer import make_tokenizer


def test_words_of_the_prompt_are_one_token_each():
    tokenizer = make_tokenizer()
    for number in range(100):
        words = f"The optical flow is {spell(number)}."
        assert len(tokenizer.tokenize(words)) == len(words.replace("-", " - ").split()) + 1


def test_words_that_are_asked_for_are_one_token_each_and_the_others_stay_what_they_are():
    tokenizer = make_tokenizer(["checkered", "stone"])
    assert tokenizer.tokenize("a checkered stone") == ["a</w>", "checkered</w>", "stone</w>"]
    assert len(make_tokenizer().tokenize("checkered")) > 1
    text = "the optical flow is twenty-one"
    assert tokenizer.tokenize(text) == make_tokenizer().tokenize(text)


def test_any_text_comes_back(tmp_path):
    text = "ein käfer läuft 7 m, 走る"
    tokenizer = make_tokenizer()
    ids = tokenizer(text).input_ids
    # CLIP sets every digit and every sign apart.
    assert tokenizer.decode(ids, skip_special_tokens=True).replace(" ", "") == text.replace(" ", "")
    assert tokenizer.unk_token_id not in ids[1:-1]


def test_saved_and_loaded_it_is_the_same(tmp_path):
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    text = "A zebra moves slowly. The optical flow is twelve."
    assert type(tokenizer).from_pretrained(tmp_path)(text).input_ids == tokenizer(text).input_ids
