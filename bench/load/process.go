package load

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Process is what a process takes of the machine.
type Process struct {
	Resident int64   `json:"resident_bytes"`  // the most that was seen, mapped files included
	Anon     int64   `json:"anonymous_bytes"` // of it memory that no file holds, the most that was seen
	Peak     int64   `json:"peak_bytes"`      // resident, since the process began
	CPU      float64 `json:"cpu_seconds"`     // of all processors
}

// readProcess reads what a process has taken so far.
func readProcess(pid int) (p Process, err error) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		return p, err
	}
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return p, err
	}
	return parseProcess(string(status), string(stat))
}

// ticks are those of a second in /proc/PID/stat, on every Linux.
const ticks = 100

func parseProcess(status, stat string) (p Process, err error) {
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(line, ":")
		where := map[string]*int64{"VmRSS": &p.Resident, "RssAnon": &p.Anon, "VmHWM": &p.Peak}[name]
		if where == nil {
			continue
		}
		kB, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
		if err != nil {
			return p, fmt.Errorf("/proc status: %q", line)
		}
		*where = kB << 10
	}
	// The name, in parentheses, may hold anything.
	f := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(f) < 13 {
		return p, fmt.Errorf("/proc stat: %q", stat)
	}
	for _, s := range f[11:13] { // user and system time
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return p, fmt.Errorf("/proc stat: %q", stat)
		}
		p.CPU += float64(n) / ticks
	}
	return p, nil
}

// watch reads a process from time to time. stop returns what it took since.
func watch(pid int) (stop func() Process, err error) {
	p, err := readProcess(pid)
	if err != nil {
		return nil, err
	}
	begin := p.CPU
	end, ended := make(chan struct{}), make(chan struct{})
	see := func() {
		now, err := readProcess(pid)
		if err != nil {
			return // it has ended: its requests fail, which says enough
		}
		resident := max(p.Resident, now.Resident)
		// Linux counts pages by thread and adds them up late: its peak may be below what it said was resident.
		p = Process{resident, max(p.Anon, now.Anon), max(resident, now.Peak), now.CPU}
	}
	go func() {
		defer close(ended)
		for tick := time.NewTicker(250 * time.Millisecond); ; {
			select {
			case <-tick.C:
				see()
			case <-end:
				tick.Stop()
				return
			}
		}
	}()
	return func() Process {
		close(end)
		<-ended
		see()
		p.CPU -= begin
		return p
	}, nil
}
