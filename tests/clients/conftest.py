"""The agents and SDKs of other projects, run for real before a gateway with a scripted model."""
