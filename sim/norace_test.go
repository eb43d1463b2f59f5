//go:build !race

package sim

// raceDetector tells that the race detector is on, which makes everything slow.
const raceDetector = false
