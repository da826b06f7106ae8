"""`paysync completion`: the scripts that let a shell complete paysync's command lines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from paysync_cli.cli.command import command
from paysync_cli.cli.session import Session
from paysync_cli.errors import NotFound
from paysync_cli.language import _

Shell = Literal["bash", "zsh", "fish"]

FILES: dict[Shell, str] = {"bash": "paysync.bash", "zsh": "_paysync", "fish": "paysync.fish"}

# In a package beside the code, in a working copy beside the package.
_PACKAGE = Path(__file__).parent.parent
FOLDERS = (_PACKAGE / "completions", _PACKAGE.parent / "completions")


@command(
    "completion",
    help=_(
        "Print the script that completes paysync's command lines in a shell. Commands, options and choices are in it; "
        "only for names of banks and QRs does the shell ask paysync, which answers at once or not at all.\n\n"
        "bash: the package bash-completion finds it where the first example puts it; without that package put "
        '`eval "$(paysync completion bash)"` into ~/.bashrc. zsh: into a folder of $fpath, named _paysync, before '
        "compinit runs. Open a new shell then."
    ),
    examples=[
        ("paysync completion bash > ~/.local/share/bash-completion/completions/paysync", _("bash")),
        ("paysync completion zsh > /usr/local/share/zsh/site-functions/_paysync", _("zsh, for every user")),
        ("paysync completion fish > ~/.config/fish/completions/paysync.fish", _("fish")),
    ],
)
def completion(
    session: Session,
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help=_("Your shell: bash, zsh or fish."))],
) -> None:
    from paysync_cli.views.completion import CompletionView

    session.show(CompletionView(shell, _script(shell)))


def _script(shell: Shell) -> str:
    for folder in FOLDERS:
        file = folder / FILES[shell]
        if file.is_file():
            return file.read_text(encoding="utf-8")
    raise NotFound(
        _("The script for {shell} is not in this installation.").format(shell=shell),
        hint=_("Install paysync-cli from its wheel."),
    )
