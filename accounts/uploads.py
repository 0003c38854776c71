"""How files come in: never to disk, never more of one than any page may keep."""

import io
import zlib
from collections.abc import Callable, Iterator

from django.conf import settings
from django.core.files.uploadedfile import InMemoryUploadedFile, UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.shortcuts import render

# What a large file is packed in, piece by piece.
PIECE = 1024 * 1024
# Around a file: the other fields of the form.
MARGIN = 1024 * 1024


class CappedUploadHandler(FileUploadHandler):
    """Keep the beginning of each file in memory, and how long all of it was.

    What lies beyond is read and dropped, so that the page can say at its field that the
    file is too large. Nothing unsealed is written to a disk.
    """

    def new_file(self, *args, **kwargs):
        super().new_file(*args, **kwargs)
        self.kept = io.BytesIO()

    def receive_data_chunk(self, raw_data, start):
        room = settings.LARGEST_FILE + 1 - self.kept.tell()
        if room > 0:
            self.kept.write(raw_data[:room])

    def file_complete(self, file_size):
        self.kept.seek(0)
        return InMemoryUploadedFile(
            file=self.kept,
            field_name=self.field_name,
            name=self.file_name,
            content_type=self.content_type,
            size=file_size,
            charset=self.charset,
            content_type_extra=self.content_type_extra,
        )


class PackedFile(UploadedFile):
    """A large table as it came in: packed in memory, unpacked a piece at a time."""

    def __init__(self, pieces: list[bytes], **facts):
        super().__init__(file=io.BytesIO(), **facts)
        self._pieces = pieces

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        for piece in self._pieces:
            yield zlib.decompress(piece)


class PackedUploadHandler(FileUploadHandler):
    """Keep a large table packed in memory: text is a tenth of its size then."""

    def __init__(self, request, *, most: int):
        super().__init__(request)
        self._most = most

    def new_file(self, *args, **kwargs):
        super().new_file(*args, **kwargs)
        self._pieces: list[bytes] = []
        self._piece = bytearray()

    def receive_data_chunk(self, raw_data, start):
        if start > self._most:
            return
        self._piece += raw_data
        if len(self._piece) >= PIECE:
            self._pack()

    def _pack(self) -> None:
        self._pieces.append(zlib.compress(bytes(self._piece), 1))
        self._piece.clear()

    def file_complete(self, file_size):
        if self._piece:
            self._pack()
        return PackedFile(
            self._pieces,
            name=self.file_name,
            content_type=self.content_type,
            size=file_size,
            charset=self.charset,
            content_type_extra=self.content_type_extra,
        )


def takes_large_files(permission: str, *, most: int) -> Callable:
    """Let operators with a permission send a view a file of so many bytes.

    Everybody else's request is held to the size of other forms, before it is read.
    """

    def decorate(view: Callable) -> Callable:
        view.large_files = (permission, most)
        return view

    return decorate


class BodyLimitMiddleware:
    """Refuse a request that says it is larger than its form: before it is read."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)

    def process_view(self, request, view, args, kwargs):
        permission, most = getattr(view, "large_files", ("", 0))
        is_large = bool(permission) and request.user.has_perm(permission)
        limit = most + MARGIN if is_large else settings.LARGEST_BODY
        length = request.META.get("CONTENT_LENGTH") or "0"
        if length.isdecimal() and int(length) > limit:
            shown = (most if is_large else settings.LARGEST_FILE) // (1024 * 1024)
            return render(request, "413.html", {"most": shown}, status=413)
        if is_large and request.method == "POST":
            request.upload_handlers = [PackedUploadHandler(request, most=most)]
        return None
