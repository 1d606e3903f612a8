// Package filelock keeps two processes from writing one file, or to one folder.
package filelock
