"""Chapter 5: lifecycle. Containers that live on."""
