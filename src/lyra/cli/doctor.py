"""``lyra doctor``: what this computer can run, and what to install for more."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Doctor:
    """Check this computer; the exit code is 0 if `lyra generate` can run."""

    def run(self) -> int:
        """Print one line per check."""
        from lyra.cli.health import examine

        findings = examine()
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            print(f"{finding.state:<4}  {finding.name:<{width}}  {finding.detail}")
        bad = [finding for finding in findings if finding.state == "BAD"]
        print()
        if bad:
            print(f"lyra generate cannot run here: mend {', '.join(finding.name for finding in bad)} first.")
            return 1
        print("lyra generate can run here.")
        return 0

    def interrupted(self) -> str:
        """Only reads."""
        return "nothing was written"
