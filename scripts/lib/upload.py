"""Uploads the .pt and .safetensors files of a folder: `upload.py FOLDER s3://BUCKET/PREFIX`."""

import sys
from pathlib import Path

import boto3


def main() -> None:
    folder, (bucket, _, prefix) = Path(sys.argv[1]), sys.argv[2].removeprefix("s3://").partition("/")
    s3 = boto3.client("s3")
    count = 0
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".pt", ".safetensors"):
            s3.upload_file(str(path), bucket, f"{prefix}/{path.relative_to(folder)}")
            count += 1
    print(f"{count} files to s3://{bucket}/{prefix}")


if __name__ == "__main__":
    main()
