package main

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// disk reports F: how often a second one writer overwrites 4 KB of a file and makes it durable. A log
// that recycles its files reaches this with one writer, so it is the measure of the disk.
func disk(args []string) error {
	f := newFlags("disk")
	dir := f.String("dir", os.TempDir(), "directory on the disk")
	length := f.Duration("time", 2*time.Second, "how long to measure")
	f.Parse(args)
	const block, blocks = 4096, 4096
	file, err := os.CreateTemp(*dir, "bench-disk-")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	data := make([]byte, block*blocks)
	rand.Read(data)
	if _, err := file.Write(data); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	n, start := 0, time.Now()
	for ; time.Since(start) < *length; n++ {
		if _, err := file.WriteAt(data[:block], int64(n%blocks)*block); err != nil {
			return err
		}
		if err := syscall.Fdatasync(int(file.Fd())); err != nil {
			return err
		}
	}
	report("F, 4 KB overwritten and synced", float64(n)/time.Since(start).Seconds(), "1/s")
	return nil
}

// family returns the processes of a list of numbers, separated by commas, and their descendants.
func family(list string) []int {
	parents := map[int]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		if fields := statOf(name); len(fields) > 1 {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			parents[pid], _ = strconv.Atoi(fields[1])
		}
	}
	var members []int
	for pid := range parents {
		for p := pid; p > 1; p = parents[p] {
			if slices.Contains(strings.Split(list, ","), strconv.Itoa(p)) {
				members = append(members, pid)
				break
			}
		}
	}
	return members
}

// statOf returns the fields of a stat file that follow the name of the command: state, parent, …
func statOf(name string) []string {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil // it has ended
	}
	return strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
}

// clockTick is the unit of CPU time in /proc.
const clockTick = 10 * time.Millisecond

// cpuOf returns the CPU time that processes, their descendants and the dead among these have used.
func cpuOf(pids string) (used time.Duration) {
	for _, pid := range family(pids) {
		fields := statOf(fmt.Sprintf("/proc/%d/stat", pid))
		for i := 11; i < 15 && i < len(fields); i++ { // utime, stime, cutime, cstime
			n, _ := strconv.Atoi(fields[i])
			used += time.Duration(n) * clockTick
		}
	}
	return used
}

// memory returns the bytes that processes and their descendants hold, shared pages by their part.
func memory(pids string) (bytes int64, err error) {
	for _, pid := range family(pids) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(string(text)) {
			if fields := strings.Fields(line); fields[0] == "Pss:" {
				kb, _ := strconv.ParseInt(fields[1], 10, 64)
				bytes += kb << 10
			}
		}
	}
	return bytes, nil
}

func memoryOf(args []string) error {
	bytes, err := memory(strings.Join(args, ","))
	report("memory", float64(bytes)/(1<<20), "MiB")
	return err
}

// wait returns when all servers greet, and reports how long that took.
func wait(addresses []string) error {
	start := time.Now()
	for _, address := range addresses {
		for !greets(address) {
			if time.Since(start) > patience {
				return fmt.Errorf("%s did not greet within %v", address, patience)
			}
			time.Sleep(time.Millisecond)
		}
	}
	return nil
}

func greets(address string) bool {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, err = bufio.NewReader(conn).ReadString('\n')
	return err == nil
}
