"""The queue: two at a time, in order; what failed is not called done; what is done is left out."""

import subprocess
import sys

from data.next import jobs


def test_the_queue(tmp_path, monkeypatch, capsys):
    (tmp_path / "jobs.txt").write_text("# first\nmake a\nmake bad\nmake b\n\nmake done\n")
    done = tmp_path / "done.txt"
    done.write_text("make done\n")
    started, at_once = [], []

    def start(line):
        started.append(line)
        at_once.append(sum(job.poll() is None for job in processes) + 1)
        end = int("bad" in line)
        command = [sys.executable, "-c", f"import time; time.sleep(0.5); raise SystemExit({end})"]
        processes.append(subprocess.Popen(command))
        return processes[-1]

    processes = []
    sleep = jobs.time.sleep
    monkeypatch.setattr(jobs, "HERE", tmp_path)
    monkeypatch.setattr(jobs, "DONE", done)
    monkeypatch.setattr(jobs, "start", start)
    monkeypatch.setattr(jobs.time, "sleep", lambda seconds: sleep(0.05))
    monkeypatch.setattr(jobs.signal, "signal", lambda *_: None)
    jobs.main()
    assert started == ["make a", "make bad", "make b"]
    assert max(at_once) == jobs.PLACES
    assert sorted(done.read_text().splitlines()) == ["make a", "make b", "make done"]
    assert "make bad: ended with 1" in capsys.readouterr().out


def test_every_line_of_the_list_can_be_run():
    from data.next import train_lm, train_sae

    names = {"train_lm": train_lm.MODELS, "train_sae": train_sae.JOBS}
    listed = [line.split() for line in jobs.waiting(set())]
    assert all(name in names[module] for module, name in listed)
    assert len(listed) <= len(train_lm.MODELS) + len(train_sae.JOBS)
