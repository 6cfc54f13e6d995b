// Package trivy is the only room that knows Trivy: an image in a directory goes in, Trivy's JSON and SBOMs come out. It
// uses the packages below Trivy's commands, so that nothing here reads flags, configuration files or an environment,
// looks for updates, loads plug-ins, or downloads anything. It runs in the child. It imports image. Read scan.go first.
package trivy
