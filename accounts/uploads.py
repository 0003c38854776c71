"""How files come in: never to disk, never more of one than any page may keep."""

import io

from django.conf import settings
from django.core.files.uploadedfile import InMemoryUploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.shortcuts import render


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


class BodyLimitMiddleware:
    """Refuse a request that says it is larger than any form: before it is read."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        length = request.META.get("CONTENT_LENGTH") or "0"
        if length.isdecimal() and int(length) > settings.LARGEST_BODY:
            most = settings.LARGEST_FILE // (1024 * 1024)
            return render(request, "413.html", {"most": most}, status=413)
        return self.get_response(request)
