package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/llmqat/llmqat/format/tokens"
)

const sbatch = "../../deploy/slurm/generate.sbatch"

// slurmTask is the Slurm script as Slurm runs task i of 3, with this test as llmqat-train.
func slurmTask(t *testing.T, i, model, dir string, args ...string) (c *exec.Cmd, log *bytes.Buffer) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("no Slurm there")
	}
	bin := t.TempDir()
	self, err := filepath.Abs(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(bin, "llmqat-train")); err != nil {
		t.Fatal(err)
	}
	c, log = exec.Command("bash", append([]string{sbatch}, args...)...), &bytes.Buffer{}
	c.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "LLMQAT_TEST_MAIN=1", "LLMQAT_TRAIN_DEVICE=cpu",
		"SLURM_ARRAY_TASK_ID="+i, "SLURM_CPUS_PER_TASK=2", "SHARDS=3", "LLMQAT_TRAIN_MODEL="+model, "LLMQAT_TRAIN_OUT="+dir)
	c.Stderr = log
	return c, log
}

// The tasks of the Slurm script make the shards of what one machine makes.
func TestSlurm(t *testing.T) {
	model, dir := teacher(t, "16-16-16", 1), t.TempDir()
	args := []string{"--samples", "20", "--max-tokens", "30"}
	want := made(t, t.TempDir(), append(args, "--model", model)...)
	for _, i := range []string{"1", "2", "0"} {
		c, log := slurmTask(t, i, model, dir, args...)
		if err := c.Run(); err != nil || !strings.Contains(log.String(), "2 threads") {
			t.Fatalf("task %s: %v: %s", i, err, log)
		}
	}
	out := filepath.Join(dir, "all")
	if _, err := tokens.Merge(context.Background(), out, []string{dir}, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the shards, merged, are not the file of one machine: %v", err)
	}
	if c, log := slurmTask(t, "0", "", dir, args...); c.Run() == nil || !strings.Contains(log.String(), "LLMQAT_TRAIN_MODEL: name the teacher") {
		t.Errorf("without a teacher it says: %s", log)
	}
}

// Slurm's signal before the time is over reaches the command.
func TestSlurmEndsInGoodOrder(t *testing.T) {
	dir := t.TempDir()
	c, log := slurmTask(t, "1", teacher(t, "16-16-16", 1), dir, "--samples", "100000", "--batch", "5")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for {
		if info, err := os.Stat(filepath.Join(dir, tokens.ShardName(1, 3))); err == nil && info.Size() > 10_000 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	c.Wait()
	if c.ProcessState.ExitCode() != 130 || !strings.Contains(log.String(), "run the same again to go on") {
		t.Errorf("%v, want status 130 and a word:\n%s", c.ProcessState, log)
	}
}

// What the scripts set are flags, and both sides of the Job speak of one number of shards.
func TestManifests(t *testing.T) {
	k, err := kong.New(&generateCmd{}, vars(), kong.DefaultEnvars("LLMQAT_TRAIN"))
	if err != nil {
		t.Fatal(err)
	}
	var known []string
	for _, f := range k.Model.Flags {
		known = append(known, f.Envs...)
	}
	for _, path := range []string{sbatch, "../../deploy/kubernetes/generate.yaml"} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile(`LLMQAT_\w+`).FindAllString(string(b), -1)
		for _, name := range names {
			if !slices.Contains(known, name) {
				t.Errorf("%s sets %s, which is no flag's", path, name)
			}
		}
		if len(names) < 4 {
			t.Errorf("%s sets %v", path, names)
		}
	}
	b, err := os.ReadFile("../../deploy/kubernetes/generate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	completions := regexp.MustCompile(`(?m)^  completions: (\d+)`).FindSubmatch(b)
	shards := regexp.MustCompile(`value: \$\(INDEX\)/(\d+)`).FindSubmatch(b)
	if completions == nil || shards == nil || !bytes.Equal(completions[1], shards[1]) {
		t.Errorf("the Job has %q and %q", completions, shards)
	}
}
