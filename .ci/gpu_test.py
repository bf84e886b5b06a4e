"""Tests of .ci/gpu: limits, skipped and failing parts, results after every step, and the kit."""
import contextlib
import io
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from unittest import mock

sys.dont_write_bytecode = True
import gpu_kit  # noqa: E402
import gpu_machine  # noqa: E402
import gpu_parts  # noqa: E402
from gpu_report import Clock, Report, Runner, Skip, Step, Wrong, execute, session  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[1]


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.enterContext(contextlib.redirect_stdout(io.StringIO()))

    def report(self, page=None):
        return Report(self.folder, ["## a run", ""], {"commit": "abc"}, page)

    def results(self):
        lines = (self.folder / "results.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def run_part(self, *steps, seconds=60, clock=None, patience=1):
        """Runs a part; returns the report."""
        report = self.report()
        runner = Runner(clock or Clock(), report, patience)
        self.went_on = runner.part("part", seconds, iter(steps))
        return report


class Limits(Case):
    def test_clock_counts_from_the_start_and_keeps_time_to_end(self):
        clock = Clock(1, start=100, now=lambda: 110)
        self.assertEqual(clock.left(), 40)  # of 60 s, 10 have gone and 10 end what still runs
        self.assertEqual(Clock(now=lambda: 5).left(), float("inf"))

    def test_step_that_exceeds_its_limit_is_stopped_and_the_next_one_runs(self):
        report = self.run_part(Step("slow", ["sleep", "60"], 1, least=1), Step("fast", ["true"], 5))
        self.assertEqual([r.verdict for r in report.results], ["FAILED", "passed"])
        self.assertEqual(report.results[0].why, "timeout after 1 s")
        self.assertFalse(report.results[0].shortened)

    def test_step_gets_what_is_left_of_its_part(self):
        report = self.run_part(Step("slow", ["sleep", "60"], 60, least=1), seconds=1.9)
        self.assertTrue(report.results[0].shortened)
        self.assertIn("shortened to 2 s", report.text())

    def test_step_gets_what_is_left_of_the_run(self):
        clock = Clock(12 / 60)  # 12 s, of which 10 are kept to end
        report = self.run_part(Step("slow", ["sleep", "60"], 60, least=1), clock=clock)
        self.assertTrue(report.results[0].shortened)
        self.assertLess(report.results[0].seconds, 4)

    def test_step_that_does_not_fit_is_skipped(self):
        clock = Clock(1, start=0, now=lambda: 30)
        report = self.run_part(Step("long", ["true"], 60, least=21),
                               Step("short", ["true"], 60, least=20), clock=clock)
        self.assertEqual([r.verdict for r in report.results], ["NOT RUN", "passed"])
        self.assertEqual(report.results[0].why, "20 s left, at least 21 s needed")

    def test_unlimited_run_is_patient(self):
        report = self.run_part(Step("slow", ["sleep", "1"], 0.5, least=0), seconds=1, patience=10)
        self.assertEqual(report.results[0].verdict, "passed")
        self.assertEqual(report.results[0].limit, 5)

    def test_stopped_step_leaves_its_output_and_no_process(self):
        for leaves in ("sleep 61 & sleep 61", "trap '' TERM; sleep 61 & sleep 61; sleep 61"):
            with mock.patch("gpu_report.GRACE", 1):
                code, output = execute(["bash", "-c", f"echo $$; {leaves}"], 1, {})
            self.assertEqual(code, "timeout after 1 s")
            self.assertEqual(session(int(output)), [])


class Results(Case):
    def test_failures_of_every_kind_are_recorded_and_the_rest_runs(self):
        def wrong(_):
            raise Wrong("losses differ")

        def steps():
            yield Step("exit", ["bash", "-c", "echo why; exit 3"], 5)
            yield Step("signal", ["bash", "-c", "kill -9 $$"], 5)
            yield Step("absent", ["./no-such-program"], 5)
            yield Step("judged", ["true"], 5, judge=wrong)
            yield Step("unjudged", ["true"], 5, judge=lambda _: {}["top1"])
            yield Skip("skipped", "no tool")
            raise KeyError("mistake")

        report = self.report()
        runner = Runner(Clock(), report)
        self.assertTrue(runner.part("a", 60, steps()))
        self.assertTrue(runner.part("b", 60, iter([Step("next", ["true"], 5)])))
        self.assertEqual([r.verdict for r in report.results],
                         ["FAILED"] * 5 + ["NOT RUN", "FAILED", "passed"])
        for why in ("exit code 3", "signal 9", "No such file", "losses differ",
                    "KeyError: 'top1'", "no tool", "KeyError: 'mistake'"):
            self.assertIn(why, report.text())

    def test_everything_is_written_after_every_step(self):
        pages = []
        report = self.report(pages.append)
        seen = []

        def steps():
            for name in ("one", "two"):
                yield Step(name, ["bash", "-c", f"echo {name} has run; echo '{{\"ms\": 2.5}}'"], 5)
                seen.append(((self.folder / "entry.md").read_text(), self.results()[-1],
                             (self.folder / "log.txt").read_text(), pages[-1]))

        Runner(Clock(), report).part("part", 60, steps())
        for (entry, result, log, page), name in zip(seen, ("one", "two")):
            self.assertIn(f"- {name}: passed", entry)
            self.assertEqual(entry, page)
            self.assertIn(f"{name} has run", log)
            self.assertEqual((result["title"], result["figures"]), (name, {"ms": 2.5}))
        self.assertNotIn("two", seen[0][0])

    def test_lines_kept_are_those_that_match_or_all_of_a_failure(self):
        report = self.run_part(
            Step("passes", ["bash", "-c", "echo a; echo 5 ms"], 5, keep="ms"),
            Step("fails", ["bash", "-c", "echo a; echo rank 0: 0.1 s: b; echo 5 ms; exit 1"], 5,
                 keep="ms"))
        self.assertEqual([r.lines for r in report.results], [["5 ms"], ["a", "5 ms"]])

    def test_without_a_gpu_nothing_else_runs(self):
        lost = ["bash", "-c", "echo no GPU: driver; exit 77"]
        report = self.run_part(Step("a", lost, 5), Step("b", lost, 5, essential=True),
                               Step("c", ["true"], 5))
        self.assertEqual([r.verdict for r in report.results], ["NOT RUN", "NOT RUN"])
        self.assertEqual(report.results[1].why, "no GPU: driver")
        self.assertFalse(self.went_on)


class Parts(Case):
    def metrics(self, name, losses, **more):
        (self.folder / name).mkdir()
        lines = [{"kind": "train", "step": i, "loss": loss, "samples_per_s": 10.0 * (i + 1)}
                 for i, loss in enumerate(losses)]
        (self.folder / name / "metrics.jsonl").write_text(
            "".join(json.dumps(line) + "\n" for line in [{"kind": "note"}, *lines, *more.values()]))

    def test_losses_of_replayed_steps_are_compared_with_eager_ones(self):
        self.metrics("off", [8, 7, 6])
        self.metrics("on", [8, 7, 6])
        eager, replayed = self.folder / "off", self.folder / "on"
        self.assertEqual(gpu_parts.compared(eager, replayed),
                         {"samples_per_s": 20, "difference": 0})
        for losses in ([8, 7, 6.0001], [8, 7], [8, 7, float("nan")]):
            shutil.rmtree(replayed)
            self.metrics("on", losses)
            with self.assertRaises(Wrong):
                gpu_parts.compared(eager, replayed)

    def test_accuracy_has_a_floor(self):
        for top1, well in ((0.97, True), (0.9, False)):
            line = {"kind": "eval", "split": "a", "top1": top1}
            self.metrics(str(top1), [8], line=line)
            if well:
                self.assertEqual(gpu_parts.accuracy(self.folder / str(top1)), {"top1": {"a": top1}})
            else:
                self.assertRaises(Wrong, gpu_parts.accuracy, self.folder / str(top1))

    def test_programs_that_ran_no_test_fail(self):
        report = self.run_part(Step("none", ["echo", "No tests ran"], 5,
                                    judge=gpu_parts.tests_ran))
        self.assertEqual(report.results[0].why, "no tests ran")

    def test_each_name_of_selected_tests_is_one_of_a_test(self):
        names = re.findall(r'TEST_CASE\(\s*"([^"]+)', "".join(
            file.read_text() for file in (ROOT / "tests").rglob("*.cpp")))
        for name in (*(name for _, name in gpu_parts.SMOKE.values()), *gpu_parts.SHARED_RANKS):
            self.assertTrue([n for n in names if n.startswith(name.rstrip("*"))], name)

    def test_each_tag_of_the_sanitizer_is_one_of_tests_core(self):
        tags = set(re.findall(r"\[(\w+)\]", "".join(
            file.read_text() for file in (ROOT / "tests/core").rglob("*.cpp"))))
        self.assertLessEqual(set(gpu_parts.KERNELS), tags)

    def test_ranks_share_a_gpu_only_where_there_are_too_few(self):
        machine = gpu_parts.Machine(2, False, False, self.folder)
        self.assertEqual(machine.mpirun(2, "program"), (["mpirun", "-n", 2, "program"], {}))
        command, env = machine.mpirun(4, "program", "--device")
        self.assertIn("NCCL_HOSTID", " ".join(map(str, command)))
        self.assertEqual(env, gpu_parts.SHARED_GPU)

    def test_limits_of_parts_are_documented(self):
        page = (ROOT / "docs/gpu-runs.md").read_text()
        for part, seconds in gpu_parts.PARTS.items():
            if part is not gpu_parts.build:
                self.assertIn(f"| {part.__name__} | {seconds} s |", page)

    def test_steps_fit_into_their_parts(self):
        for hurried in (True, False):
            for stand_in in (True, False):
                machine = gpu_parts.Machine(1, hurried, stand_in, self.folder)
                for part, seconds in gpu_parts.PARTS.items():
                    for step in part(machine):
                        if isinstance(step, Step):
                            limit = seconds if part is not gpu_parts.build else 3000
                            self.assertLessEqual(step.seconds, limit, step.title)
                            self.assertLessEqual(step.least, step.seconds, step.title)


class Kit(Case):
    def test_only_the_machine_s_own_libraries_are_left_out(self):
        found = gpu_kit.needed(sys.executable)
        self.assertFalse([name for name in found if name.startswith(("libc.", "libm.", "linux-"))])
        self.assertFalse(set(found) & set(gpu_machine.NVIDIA))

    def test_font_paths_of_a_config(self):
        text = "- {name: A, path: a.ttc, index: 2}\n- {name: B, path: b.ttf}"
        self.assertEqual([m.groups() for m in gpu_kit.FONT.finditer(text)],
                         [("a.ttc", "2"), ("b.ttf", None)])

    def test_scripts_and_configs_exist(self):
        for name in (*gpu_kit.SCRIPTS, *(f"configs/{name}.yaml" for name in gpu_kit.CONFIGS)):
            self.assertTrue((ROOT / name).is_file(), name)

    def pack(self, program):
        """Returns a kit with a script in place of each program."""
        kit = self.folder / "kit"
        for script in gpu_kit.SCRIPTS:
            gpu_kit.put(ROOT / script, kit / script)
        for name in gpu_machine.PROGRAMS:
            file = gpu_kit.put("/dev/null", kit / gpu_machine.BUILD / name)
            file.write_text(f"#!/bin/sh\n{program}\n")
            file.chmod(0o755)
        (kit / gpu_machine.KIT).write_text(json.dumps(
            {"commit": "abc", "arch": "any", "nvcc": "13", "stand_in": True}))
        gpu_kit.pack(kit, self.folder / "kit.tar.xz")
        return self.folder / "kit.tar.xz"

    def start(self, kit, *words):
        return subprocess.Popen(
            [sys.executable, ROOT / ".ci/gpu", "--kit", kit, "--minutes", "1", "--out",
             self.folder / "out", *words], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)

    def entry(self):
        return (self.folder / "out/entry.md").read_text()

    def test_kit_runs_where_it_is_unpacked(self):
        ran = self.start(self.pack("echo All tests passed"), "smoke", "tests", "glyphs")
        self.assertEqual(ran.wait(60), 0, self.entry())
        self.assertIn("the stand-in for CUDA, NOT a GPU", self.entry())
        self.assertIn("Commit abc; kit for any", self.entry())
        self.assertIn("  All tests passed", self.entry())
        self.assertTrue(self.entry().endswith("9 passed, 0 FAILED, 0 NOT RUN.\n\n"), self.entry())

    def test_kit_whose_programs_lack_libraries_ends_at_once(self):
        ran = self.start(self.pack("echo no libmpi; exit 127"))
        self.assertEqual(ran.wait(60), 1)
        self.assertIn("- device opens: FAILED (exit code 127)", self.entry())
        self.assertIn("- all: NOT RUN: programs cannot use a GPU", self.entry())
        self.assertNotIn("cuBLASLt: FAILED", self.entry())

    def test_run_that_is_stopped_leaves_what_it_had_done(self):
        ran = self.start(self.pack('case "$*" in *conv2d*) sleep 60 ;; esac'), "smoke")
        until = time.monotonic() + 30
        while time.monotonic() < until and not (
                (self.folder / "out/entry.md").is_file() and "cuBLASLt" in self.entry()):
            time.sleep(0.1)
        self.assertNotIn("Stopped", self.entry())
        ran.terminate()
        self.assertEqual(ran.wait(30), 1)
        self.assertIn("- products by cuBLASLt: passed", self.entry())
        self.assertIn("Stopped by a signal.", self.entry())


if __name__ == "__main__":
    unittest.main()
