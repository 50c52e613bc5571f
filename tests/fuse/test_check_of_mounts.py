"""`imagefs check` sees where images are mounted."""

import json

from support.archives import OciArchive, file, gzip_layer


def test_where_images_are_mounted(imagefs, mount):
    archive = OciArchive()
    archive.add_image([gzip_layer(file("a"))], name="one:1")
    archive.add_image([gzip_layer(file("b"))], name="two:1")
    imagefs("import", "-", stdin=archive.bytes())
    everything, one = mount(), mount("--view", "rootfs", "one:1")
    assert [each["mounted"] for each in json.loads(imagefs("check", "--json").out)["images"]] == [
        [str(everything), str(one)],
        [str(everything)],
    ]
    imagefs("umount", one)
    assert [each["mounted"] for each in json.loads(imagefs("check", "--json").out)["images"]] == [[str(everything)]] * 2
