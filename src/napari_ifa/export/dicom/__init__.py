"""An explanation as DICOM objects."""
