"""CompleteMultipartUpload as on AWS, where moto's is less: it writes over nothing but the object of `If-Match`.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

from moto.s3.exceptions import MissingKey, PreconditionFailed
from moto.s3.responses import S3Response


def install() -> None:
    """Puts this module's part into moto."""
    respond = S3Response._key_response_post

    def key_response_post(self, request, body, bucket_name, query, key_name):
        etag = request.headers.get("If-Match")
        if etag and query.get("uploadId"):
            there = self.backend.get_object(bucket_name, key_name)
            if there is None:
                raise MissingKey
            # An upload that is completed once more is answered as the first time.
            completed = there.multipart and there.multipart.id == query["uploadId"][0]
            if not completed and there.etag.strip('"') != etag.strip('"'):
                raise PreconditionFailed("If-Match")
        return respond(self, request, body, bucket_name, query, key_name)

    S3Response._key_response_post = key_response_post
