// Package sim runs stores on disks that crash.
package sim
