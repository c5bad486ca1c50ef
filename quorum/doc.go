// Package quorum holds locks across N independent Redis masters.
package quorum
