package helper

import (
	"fmt"
	"os"
)

// What the own binary is told to be. No command of people looks like these.
const (
	ownBinary  = "/proc/self/exe" // also where the file was replaced, or its folder is closed to the user
	roleHelper = "-helper-process-"
	roleChild  = "-helper-child-"

	endAtOnce = "GORACE=atexit_sleep_ms=0" // a build that looks for races waits a second otherwise
)

// Main does what this process was started for, and ends it, where that is to be a helper. In any other
// process it returns at once. It must be the first that main, and TestMain of tests, call.
func Main() {
	if len(os.Args) != 2 {
		return
	}
	switch os.Args[1] {
	case roleHelper:
		if err := serve(); err != nil {
			fmt.Fprintln(os.Stderr, "posthaste:", err)
			os.Exit(1)
		}
		os.Exit(0)
	case roleChild:
		os.Exit(child())
	}
}
