"""Downloads targets of a repository with python-tuf: ROOT_FILE BASE_URL DIR TARGET...

ASSENT_CA and ASSENT_TOKEN are for a server that asks for them. Ends with 1 where the library refuses, naming why.
"""

import os
import pathlib
import ssl
import sys
import urllib.error
import urllib.request

from tuf.api.exceptions import DownloadError, DownloadHTTPError, RepositoryError
from tuf.ngclient import FetcherInterface, Updater


class Fetcher(FetcherInterface):
    def _fetch(self, url):
        request = urllib.request.Request(url)
        context = None
        if url.startswith("https:"):
            request.add_header("authorization", f"Bearer {os.environ['ASSENT_TOKEN']}")
            context = ssl.create_default_context(cafile=os.environ["ASSENT_CA"])
        try:
            with urllib.request.urlopen(request, context=context, timeout=30) as answer:
                while piece := answer.read(65536):
                    yield piece
        except urllib.error.HTTPError as error:
            raise DownloadHTTPError(url, error.code) from error


root, base, directory, *targets = sys.argv[1:]
metadata, files = (pathlib.Path(directory, name) for name in ("metadata", "targets"))
for path in (metadata, files):
    path.mkdir(parents=True)
try:
    updater = Updater(
        str(metadata), base, str(files), base, fetcher=Fetcher(), bootstrap=pathlib.Path(root).read_bytes()
    )
    updater.refresh()
    for name in targets:
        target = updater.get_targetinfo(name)
        if target is None:
            raise RepositoryError(f"no role lists {name}")
        updater.download_target(target, str(files / name))
except (RepositoryError, DownloadError) as error:
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(1)
