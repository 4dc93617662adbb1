from cortex_cli.store.starter import starter_root


def test_the_starter_content_has_its_four_folders() -> None:
    root = starter_root()
    assert all((root / folder).is_dir() for folder in ("recipes", "prompts", "datasets", "registry"))
