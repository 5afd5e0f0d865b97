"""The product as objects of an S3 bucket: signed, without a token, verified like any other."""

from pathlib import Path

from sandbox.server import Sandbox
from tests.conftest import SameTree, StageIn


def test_a_product_is_staged_without_a_token(
    stage_in: StageIn, platform: Sandbox, new: Path, assert_same_tree: SameTree
) -> None:
    run = stage_in(platform.item_url(new.name), CDSE_ACCESS_TOKEN="", **platform.s3_environment())
    assert run.code == 0, run.log
    assert platform.origins["s3"] in run.log
    assert not platform.log.of("download")
    assert not platform.log.of("identity")
    first, *_ = platform.log.of("s3")
    assert first.path.endswith("manifest.safe")
    assert len(platform.log.of("s3", "*list-type=2*")) == 1
    assert_same_tree(new, stage_in.folder / "catalog" / new.stem / new.name)
