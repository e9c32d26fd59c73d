import pytest

from mull.build import MissingExtraError, needs_extra


@pytest.mark.parametrize("package", ["jinja2", "safetensors", "tokenizers", "torch"])
def test_a_missing_package_of_an_extra_is_named_with_what_to_install(package: str) -> None:
    with (
        pytest.raises(MissingExtraError, match=f"needs the package `{package}.part`") as caught,
        needs_extra("local", "model `it`"),
    ):
        raise ModuleNotFoundError(name=f"{package}.part")
    assert caught.value.hint == "pip install 'mull[local]'"


def test_any_other_missing_module_is_a_defect() -> None:
    with pytest.raises(ModuleNotFoundError), needs_extra("local", "model `it`"):
        raise ModuleNotFoundError(name="nothing_of_ours")
