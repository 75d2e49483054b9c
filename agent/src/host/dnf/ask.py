"""Asks dnf's own library what its command line tells people only; the answer is one JSON object.

The request is the file named by the first argument. Planning solves against the host's repositories and changes
nothing; carrying out knows no repository at all, only the files that it is given.
"""

import glob
import json
import os
import shutil
import sys

# Plugins print as well, and that is no answer.
ANSWER = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

import dnf
import dnf.callback
import dnf.exceptions
import dnf.rpm
import hawkey
import rpm


class Refused(Exception):
    pass


class OwnKeys(dnf.callback.KeyImport):
    """Keys of metadata count when the host itself has their files."""

    def _confirm(self, id, userid, fingerprint, url, timestamp):
        return url.startswith("file:")


class Errors(dnf.callback.TransactionProgress):
    """What failed although the transaction went on, such as scripts of packages."""

    def __init__(self):
        super().__init__()
        self.all = []

    def error(self, message):
        self.all.append(message)


def opened(ask, repositories):
    base = dnf.Base()
    conf = base.conf
    conf.installroot = ask["root"]
    conf.config_file_path = ask["conf"]
    conf.read()
    for name in ("cachedir", "logdir"):
        setattr(conf, name, os.path.join(ask["dir"], name))
        os.makedirs(os.path.join(ask["dir"], name), exist_ok=True)
    # The library's log only ever grows.
    log = os.path.join(conf.logdir, "hawkey.log")
    if os.path.exists(log) and os.path.getsize(log) > 1 << 20:
        os.remove(log)
    # Looking leaves no trace in the history of the host.
    conf.persistdir = ask["persist"] if ask["do"] in ("commit", "auto") else ask["dir"]
    conf.install_weak_deps = False
    conf.clean_requirements_on_remove = False
    conf.exit_on_lock = True
    conf.debuglevel = 0
    # Lists are fetched when they are asked for, and not by the way.
    conf.cacheonly = ask["do"] in ("listed", "solve")
    release = dnf.rpm.detect_releasever(ask["root"])
    conf.substitutions["releasever"] = release or ""
    varsdir = [os.path.join(ask["root"], path) for path in ("etc/yum/vars", "etc/dnf/vars")]
    conf.substitutions.update_from_etc("/", varsdir=varsdir)
    conf.plugins = ask["whole"]
    if not ask["whole"]:
        conf.reposdir = [os.path.join(ask["root"], "etc/yum.repos.d")]
    # Packages on hold are the plan's to allow; what files do is compared as a whole.
    free = ask.get("free", []) if repositories else ["*"]
    conf.excludepkgs = [name for name in conf.excludepkgs if name not in free and "*" not in free]
    base.init_plugins()
    base.pre_configure_plugins()
    if repositories:
        base.read_all_repos()
        if ask["do"] == "refresh":
            # The library believes a key for good once it has seen it, also when the repository names another one.
            for ring in glob.glob(os.path.join(glob.escape(conf.cachedir), "*", "pubring")):
                shutil.rmtree(ring)
        for repo in base.repos.iter_enabled():
            repo._set_key_import(OwnKeys())
            # One that fails must not pass for nothing to upgrade.
            repo.skip_if_unavailable = False
            if ask["do"] == "refresh":
                repo.metadata_expire = 0
            else:
                repo.metadata_expire = -1
    base.configure_plugins()
    base.fill_sack(load_system_repo=True, load_available_repos=repositories)
    return base


def sha256(package):
    found = package.chksum
    if not found or hawkey.chksum_name(found[0]) != "sha256":
        return None
    return found[1].hex()


def described(package, removed=False):
    local = package.repoid in (hawkey.SYSTEM_REPO_NAME, hawkey.CMDLINE_REPO_NAME)
    return {
        "name": package.name,
        "arch": package.arch,
        "evr": package.evr,
        "removed": removed,
        "repo": None if local else package.repoid,
        "priority": 0 if local else package.repo.priority,
        "vendor": package.vendor or "",
        "sha256": None if local else sha256(package),
        "bytes": package.downloadsize,
        "unpacked": package.installsize,
    }


def refresh(ask):
    return {"repos": [repo.id for repo in opened(ask, True).repos.iter_enabled()]}


def listed(ask):
    base = opened(ask, True)
    query = base.sack.query().available().filter(name=ask["names"])
    names = set(ask["names"])
    advisories = {}
    for package in base.sack.query().installed().filter(name=ask["names"]):
        for advisory in package.get_advisories(hawkey.GT):
            advisories[advisory.id] = advisory
    return {
        "packages": [described(package) for package in query],
        "advisories": [
            {
                "id": advisory.id,
                "security": advisory.type == hawkey.ADVISORY_SECURITY,
                "packages": [
                    {"name": found.name, "arch": found.arch, "evr": found.evr}
                    for found in advisory.packages
                    if found.name in names
                ],
            }
            for advisory in advisories.values()
        ],
    }


def best(query):
    return min(query, key=lambda package: (package.repo.priority, package.repo.cost, package.repoid), default=None)


def marked_for_removal(base, removals):
    for one in removals:
        found = base.sack.query().installed().filter(name=one["name"], arch=one["arch"], evr=one["evr"])
        if not found:
            raise Refused("{name} {evr} is not installed any more".format(**one))
        for package in found:
            base.package_remove(package)


def outcome(base):
    try:
        base.resolve(allow_erasing=True)
    except dnf.exceptions.DepsolveError as error:
        raise Refused(str(error))
    changed = base.transaction
    return [described(package) for package in changed.install_set] + [
        described(package, removed=True) for package in changed.remove_set
    ]


def solve(ask):
    base = opened(ask, True)
    for one in ask["install"]:
        query = base.sack.query().available().filter(name=one["name"], arch=one["arch"], evr=one["evr"])
        package = best(query)
        if package is None:
            raise Refused("no source of this host offers {name} {evr}".format(**one))
        base.package_install(package)
    marked_for_removal(base, ask["remove"])
    return {"items": outcome(base)}


def with_files(ask):
    base = opened(ask, False)
    # A version that is there is put over itself, also where another one is registered beside it.
    base._rpm_probfilter.add(rpm.RPMPROB_FILTER_REPLACEPKG)
    for package in base.add_remote_rpms(ask["files"]):
        there = base.sack.query().installed().filter(name=package.name, arch=package.arch, evr=package.evr)
        if there:
            base.package_reinstall(package)
        else:
            base.package_install(package)
    marked_for_removal(base, ask["remove"])
    return base, outcome(base)


def rehearse(ask):
    return {"items": with_files(ask)[1]}


def commit(ask):
    base, items = with_files(ask)
    for package in base.transaction.install_set:
        result, why = base.package_signature_check(package)
        if result != 0:
            raise Refused(why)
    errors = Errors()
    base.do_transaction(display=errors)
    if errors.all:
        raise Refused("; ".join(errors.all))
    return {"items": items}


def download(ask):
    base = opened(ask, True)
    packages = []
    for one in ask["install"]:
        query = base.sack.query().available().filter(name=one["name"], arch=one["arch"], evr=one["evr"])
        package = best([package for package in query if sha256(package) == one["sha256"]])
        if package is None:
            raise Refused("no source of this host offers the file of {name} {evr} with sha256 {sha256}".format(**one))
        package.repo.pkgdir = ask["into"]
        packages.append(package)
    try:
        base.download_packages(packages)
    except dnf.exceptions.Error as error:
        names = ", ".join(sorted(str(package) for package in packages)[:5])
        raise Refused("{} (of {})".format(error, names))
    return {
        "files": [
            {
                "path": package.localPkg(),
                "checked": bool(package.repo.gpgcheck),
                "keys": list(package.repo.gpgkey),
                "repo": package.repoid,
            }
            for package in packages
        ]
    }


def auto(ask):
    import libdnf

    base = opened(ask, False)
    for package in base.sack.query().installed().filter(name=ask["names"]):
        base.history.set_reason(package, libdnf.transaction.TransactionItemReason_DEPENDENCY)
    version = base._ts.dbCookie()
    base.history.beg(version, [], [])
    base.history.end(version)
    return {}


def main():
    with open(sys.argv[1]) as file:
        ask = json.load(file)
    does = {
        "refresh": refresh,
        "listed": listed,
        "solve": solve,
        "rehearse": rehearse,
        "commit": commit,
        "download": download,
        "auto": auto,
    }
    try:
        answer = does[ask["do"]](ask)
    except (Refused, dnf.exceptions.Error, OSError) as error:
        answer = {"refused": " ".join(str(error).split())}
    json.dump(answer, ANSWER)
    ANSWER.flush()


main()
