package api

import (
	"fmt"
	"strings"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/inventory"
)

// SARIF 2.1.0, as much of it as findings need.
type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool        sarifTool         `json:"tool"`
	Invocations []sarifInvocation `json:"invocations"`
	Results     []sarifResult     `json:"results"`
	Properties  map[string]string `json:"properties"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name            string      `json:"name"`
	InformationURI  string      `json:"informationUri"`
	SemanticVersion string      `json:"version,omitempty"`
	Rules           []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID               string            `json:"id"`
	ShortDescription sarifText         `json:"shortDescription"`
	FullDescription  *sarifText        `json:"fullDescription,omitempty"`
	HelpURI          string            `json:"helpUri,omitempty"`
	Properties       map[string]string `json:"properties,omitempty"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifInvocation struct {
	ExecutionSuccessful bool                `json:"executionSuccessful"`
	Notifications       []sarifNotification `json:"toolExecutionNotifications,omitempty"`
}

type sarifNotification struct {
	Level   string    `json:"level"`
	Message sarifText `json:"message"`
}

type sarifResult struct {
	RuleID       string             `json:"ruleId"`
	RuleIndex    int                `json:"ruleIndex"`
	Level        string             `json:"level"`
	Message      sarifText          `json:"message"`
	Locations    []sarifLocation    `json:"locations"`
	Fingerprints map[string]string  `json:"partialFingerprints"`
	Suppressions []sarifSuppression `json:"suppressions,omitempty"`
}

type sarifLocation struct {
	Physical sarifPhysical  `json:"physicalLocation"`
	Logical  []sarifLogical `json:"logicalLocations"`
}

type sarifPhysical struct {
	Artifact sarifArtifact `json:"artifactLocation"`
}

type sarifArtifact struct {
	URI string `json:"uri"`
}

type sarifLogical struct {
	Name string `json:"fullyQualifiedName"`
}

type sarifSuppression struct {
	Kind          string `json:"kind"`
	Justification string `json:"justification"`
}

// sarif makes a log of findings: a rule for each vulnerability, a result for each package that has it. What is excepted is
// suppressed there, and what could be missing makes the run one that did not succeed.
func (a *API) sarif(about reported, all []inventory.FoundIn, said map[string]*inventory.Told, zh bool) *sarifLog {
	run := sarifRun{Tool: sarifTool{sarifDriver{Name: "Hallmark", InformationURI: "https://github.com/hallmarkhub/hallmark", SemanticVersion: a.version, Rules: []sarifRule{}}},
		Invocations: []sarifInvocation{{ExecutionSuccessful: len(about.missing) == 0}}, Results: []sarifResult{},
		Properties: map[string]string{"repository": about.repository, "digest": about.artifact.Digest}}
	for _, why := range about.missing {
		run.Invocations[0].Notifications = append(run.Invocations[0].Notifications, sarifNotification{"warning", sarifText{why}})
	}
	rules := map[string]int{}
	for i := range all {
		f := &all[i]
		at, known := rules[f.ID]
		if !known {
			at = len(run.Tool.Driver.Rules)
			rules[f.ID] = at
			run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRuleOf(said[f.ID], f, zh))
		}
		run.Results = append(run.Results, sarifResultOf(about.repository, f, at))
	}
	return &sarifLog{"https://json.schemastore.org/sarif-2.1.0.json", "2.1.0", []sarifRun{run}}
}

func sarifRuleOf(said *inventory.Told, f *inventory.FoundIn, zh bool) sarifRule {
	r := sarifRule{ID: f.ID, ShortDescription: sarifText{said.TitleIn(zh)}, Properties: map[string]string{"severity": string(f.Severity)}}
	if r.ShortDescription.Text == "" {
		r.ShortDescription.Text = f.ID
	}
	if said.Description != "" {
		r.FullDescription = &sarifText{said.Description}
	}
	if said.Score != 0 {
		r.Properties["security-severity"] = fmt.Sprintf("%.1f", said.Score)
	}
	for _, link := range said.Links {
		if strings.HasPrefix(link, "https://") && !strings.ContainsAny(link, " \t\"<>\\^`{|}") {
			r.HelpURI = link
			break
		}
	}
	return r
}

func sarifResultOf(repository string, f *inventory.FoundIn, rule int) sarifResult {
	level := map[core.Severity]string{core.SeverityCritical: "error", core.SeverityHigh: "error", core.SeverityMedium: "warning"}[f.Severity]
	if level == "" {
		level = "note"
	}
	message := fmt.Sprintf("%s %s has %s (%s)", f.Package, f.Version, f.ID, f.Severity)
	if f.Fixed != "" {
		message += "; fixed in " + f.Fixed
	}
	path := strings.TrimPrefix(f.Path, "/")
	if path == "" {
		path = repository
	}
	r := sarifResult{RuleID: f.ID, RuleIndex: rule, Level: level, Message: sarifText{message},
		Locations:    []sarifLocation{{sarifPhysical{sarifArtifact{uriPath(path)}}, []sarifLogical{{f.Package + "@" + f.Version}}}},
		Fingerprints: map[string]string{"finding/v1": strings.Join(f.Place(), ":")}}
	if e := f.Exception; e != nil {
		r.Suppressions = []sarifSuppression{{"external", e.Reason}}
	}
	return r
}
